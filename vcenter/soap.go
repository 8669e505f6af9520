// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

const vim25 = "urn:vim25"

type envelope struct {
	XMLName xml.Name    `xml:"soapenv:Envelope"`
	Enc     string      `xml:"xmlns:soapenc,attr"`
	Env     string      `xml:"xmlns:soapenv,attr"`
	XSD     string      `xml:"xmlns:xsd,attr"`
	XSI     string      `xml:"xmlns:xsi,attr"`
	Body    interface{} `xml:"soapenv:Body"`
}

// answer encodes a response under its own name.
type answer struct {
	response interface{}
}

func (a *answer) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	name := reflect.TypeOf(a.response).Elem().Name()
	element := xml.StartElement{Name: xml.Name{Space: vim25, Local: name}}
	if err := e.EncodeElement(a.response, element); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// faultDetail encodes a fault under its own name and type.
type faultDetail struct {
	Fault types.AnyType
}

func (d *faultDetail) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	kind := reflect.TypeOf(d.Fault).Elem().Name()
	start.Name.Local = kind + "Fault"
	start.Attr = append(start.Attr,
		xml.Attr{Name: xml.Name{Local: "xmlns"}, Value: vim25},
		xml.Attr{Name: xml.Name{Local: "xsi:type"}, Value: kind})
	return e.EncodeElement(d.Fault, start)
}

type soapFault struct {
	XMLName xml.Name `xml:"soapenv:Fault"`
	Code    string   `xml:"faultcode"`
	String  string   `xml:"faultstring"`
	Detail  struct {
		Fault *faultDetail
	} `xml:"detail"`
}

type faultBody struct {
	Fault *soapFault
}

// encode writes a whole SOAP answer. Since it reads live objects, it is called with the lock held.
func encode(response interface{}, fault vimFault) ([]byte, error) {
	var body interface{} = &answer{response}
	if fault != nil {
		f := &soapFault{Code: "ServerFaultCode", String: message(fault)}
		f.Detail.Fault = &faultDetail{fault}
		body = &faultBody{f}
	}
	var out bytes.Buffer
	out.WriteString(xml.Header)
	e := xml.NewEncoder(&out)
	err := e.Encode(&envelope{
		Enc:  "http://schemas.xmlsoap.org/soap/encoding/",
		Env:  "http://schemas.xmlsoap.org/soap/envelope/",
		XSD:  "http://www.w3.org/2001/XMLSchema",
		XSI:  "http://www.w3.org/2001/XMLSchema-instance",
		Body: body,
	})
	if err == nil {
		err = e.Flush()
	}
	return out.Bytes(), err
}

// message is a sentence for a fault, with the one detail that tells most.
func message(fault vimFault) string {
	switch f := fault.(type) {
	case *types.InvalidArgument:
		return "A specified parameter was not correct: " + f.InvalidProperty
	case *types.ManagedObjectNotFound:
		return fmt.Sprintf("The object '%s' has already been deleted or has not been completely created", f.Obj)
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.ResourceInUse:
		return fmt.Sprintf("The resource '%s' is in use.", f.Name)
	case *types.NoPermission:
		return fmt.Sprintf("Permission to perform this operation was denied (%s).", f.PrivilegeId)
	case *types.NotAuthenticated:
		return "The session is not authenticated."
	case *types.InvalidLogin:
		return "Cannot complete login due to an incorrect user name or password."
	case *types.NotSupported:
		return "The operation is not supported on the object."
	case *types.RestrictedVersion:
		return "Current license or ESXi version prohibits execution of the requested operation."
	case *types.ConcurrentAccess:
		return "Cannot complete operation due to concurrent modification by another operation."
	case *types.VMOnVirtualIntranet:
		return fmt.Sprintf("Currently connected network interface '%s' uses network '%s', which is a 'virtual intranet'.", f.Device, f.Backing)
	case *types.CannotAccessNetwork:
		return fmt.Sprintf("Currently connected network interface '%s' cannot use network '%s' on the destination host.", f.Device, f.Backing)
	case *types.SystemError:
		return "A general system error occurred: " + f.Reason
	case *types.MethodNotFound:
		return fmt.Sprintf("Method %s of %s is not known to this vCenter", f.Method, f.Receiver)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", fault), "*types.")
}

// unwrap turns what a method of the simulator answered into a response or a fault.
func unwrap(res soap.HasFault) (interface{}, vimFault) {
	if f := res.Fault(); f != nil {
		if fault, ok := f.Detail.Fault.(vimFault); ok {
			return nil, fault
		}
		value := reflect.New(reflect.TypeOf(f.Detail.Fault))
		value.Elem().Set(reflect.ValueOf(f.Detail.Fault))
		return nil, value.Interface().(vimFault)
	}
	return reflect.ValueOf(res).Elem().FieldByName("Res").Interface(), nil
}
